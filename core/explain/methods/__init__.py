"""Attribution methods, one file each. Every file defines ``METHOD``, whose ``attribute`` takes a ``Probe`` and gives
B x L x C; ``contract.py`` says what that is. Gradient and perturbation methods are captum's.
"""
