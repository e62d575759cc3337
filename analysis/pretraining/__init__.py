"""Where do the weights of `mini` come from?"""
