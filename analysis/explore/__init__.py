"""What do these vectors do at coefficients of one's own choice, at once?

Live coefficients: answers from cached products, a panel for a notebook, and a page that needs neither kernel nor network.
"""
