"""Does invariance keep task vectors apart, or does it only make them short?"""
