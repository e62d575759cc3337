"""How are finished vectors merged into one, without training and without labels?"""
