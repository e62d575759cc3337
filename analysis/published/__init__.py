"""What can be known and done before published models are merged?"""
