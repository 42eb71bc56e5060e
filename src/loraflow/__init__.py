"""loraflow: which LoRA rank, which target modules, and is tonight better than yesterday?"""
