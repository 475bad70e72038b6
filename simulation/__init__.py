"""The whole machine in virtual time, from one number: clock, disk, wires, processes and hosts.

The production loop and core, the worker's production stream and the client's production core run
on it while everything goes wrong that can. `tidemark-simulate` is its command.
"""
