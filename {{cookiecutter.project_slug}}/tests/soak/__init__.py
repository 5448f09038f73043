"""The service under a mixed load and random faults for as long as wanted, and the books that must balance after."""
