"""What becomes of tasks that arrive one by one?"""
