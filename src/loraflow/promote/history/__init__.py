"""The page of all nights: is the champion good, since when, and what happened last night?"""
