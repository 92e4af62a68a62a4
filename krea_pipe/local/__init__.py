"""A Krea in a box: the documented API as an ASGI app that draws proofs and spends nothing."""
