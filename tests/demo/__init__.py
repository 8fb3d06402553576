"""`make demo`: the main job on real servers, with everything shown that is done. `python -m demo --help`.

May live here: the steps of the demo, and how they are shown. Servers come from `localenv`, the operator's process and
the chart's installation from `support`, what is applied from `examples/quickstart`.
"""
