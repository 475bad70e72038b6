"""The whole machine in virtual time, from one seed: clock, disk, wires and processes."""
