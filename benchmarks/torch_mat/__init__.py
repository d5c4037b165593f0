"""MAT in plain PyTorch: the peer that ours is timed against, and compared with.

Both recipes, with the losses, the feature centers and AGDA, written from the specification and with
no part of ours: where the two agree, each has read it alike. Modules have the names of the authors'
checkpoints, so that `matnet_jax.pretrained` converts between the two.
"""
