"""Result files: HDF5 written atomically and read back."""
