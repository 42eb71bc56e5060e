"""Products with quantized matrices as bitsandbytes does them, as far as memory is concerned."""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from bitsandbytes.nn import Linear8bitLt
from torch import Tensor, nn


def stand_in(layer: Any, dtype: torch.dtype) -> None:
    """Give a quantized layer a weight of its full shape, and a product that allocates as the real.

    bitsandbytes quantizes when contents arrive, which never happens here.
    """
    rows, columns = layer.out_features, layer.in_features
    weight: Any = nn.Parameter(
        torch.empty(rows, columns, dtype=dtype, device="meta"), requires_grad=False
    )
    product: Any = _EightBits
    if not isinstance(layer, Linear8bitLt):
        product = _FourBits
        weight.compress_statistics = layer.weight.compress_statistics  # PEFT reads both
        weight.quant_type = layer.weight.quant_type
    layer.weight = weight
    layer.forward = partial(_multiply, layer, product)


def _multiply(layer: Any, product: Any, inputs: Tensor) -> Tensor:
    found: Tensor = product.apply(inputs.to(layer.weight.dtype), layer.weight)
    if layer.bias is not None:
        found = found + layer.bias
    return found.to(inputs.dtype)


class _FourBits(torch.autograd.Function):
    """Unpacks the whole matrix for each product, forwards and backwards."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor) -> Tensor:
        ctx.weight = weight
        return F.linear(inputs, torch.empty_like(weight))

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None]:
        return upstream[0] @ torch.empty_like(ctx.weight, dtype=upstream[0].dtype), None


class _EightBits(torch.autograd.Function):
    """Rounds the inputs to 8 bits by way of float16, and keeps them as they were."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor) -> Tensor:
        ctx.weight, ctx.inputs = weight, inputs
        half = inputs.to(torch.float16)
        rounded = (half * half).to(torch.int8)
        shape = (*inputs.shape[:-1], weight.shape[0])
        sums = torch.empty(shape, dtype=torch.int32)
        del half, rounded
        return sums.to(inputs.dtype)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None]:
        return upstream[0] @ torch.empty_like(ctx.weight, dtype=upstream[0].dtype), None
