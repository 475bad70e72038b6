"""Code that tests of several tiers share: fakes of the ports, examples, walks over the messages."""
