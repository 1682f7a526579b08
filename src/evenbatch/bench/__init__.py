"""How fast the layer is on this machine: against Keras' layer, against the framework's own op, against the byte floor.

`plan.py` checks what was asked for, `run.py` measures it; `backends/` alone knows how a framework is timed.
"""
