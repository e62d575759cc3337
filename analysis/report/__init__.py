"""How do the runs that exist compare with the published numbers?"""
