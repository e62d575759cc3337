"""What is computed from runs?

Products, coefficients, interference, figures, batches; a folder a study; and the door of the notebooks.
"""
