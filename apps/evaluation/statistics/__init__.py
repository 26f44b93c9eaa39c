"""Statistics of comparisons: is the candidate better than the baseline, does a judge agree with people, has a stream
moved?

Sources and choices are told in docs/scorers.md. The modules import numpy and scipy, so that the web process imports
none of them: a task does, where it needs one.

    from apps.evaluation.statistics.gates import decide

    decision = decide([Series(metric, baseline, candidate)], Policy(alpha=0.05))
"""
