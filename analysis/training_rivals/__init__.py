"""Which way of training makes vectors that can be added, at which cost, and how far does the τJp penalty carry?"""
