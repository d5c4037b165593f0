"""`python -m matnet_jax COMMAND …`, the same as `matnet`."""

from matnet_jax.cli import main

if __name__ == "__main__":
    main()
