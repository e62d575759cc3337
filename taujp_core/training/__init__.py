"""How does a task vector come about?

Configuration, the loop, the run store.
"""
