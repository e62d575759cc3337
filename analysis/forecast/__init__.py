"""What will a merge cost each task, before it is made and without labels?"""
