"""Machines and files: devices, processes, compiled programs, work folders, signals."""
