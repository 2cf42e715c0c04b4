"""Scalescope's core: data, store, models, training, jobs, explanations, and the Streamlit-only layer ``core.ui``.

Nothing here imports a heavy library at package level; each subpackage is imported by the file that needs it.
"""

__version__ = "0.1.0"
