"""The checkpoint `da3-nano`; see MODEL_CARD.md in this folder."""
