"""Can a task in another domain be made by vector arithmetic?"""
