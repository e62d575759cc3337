"""Which objective is invariant and calibrated, on environments that are known?"""
