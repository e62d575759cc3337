"""Can a merged model's confidence be trusted, and does a temperature survive the merge?"""
