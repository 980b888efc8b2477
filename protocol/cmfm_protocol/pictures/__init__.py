"""Pictures: anomaly maps, depth and scores drawn for people.

In: arrays of one part, or scores and limits. Out: Pillow images and uint8 arrays. `region_floor` is also the rule by
which the worker finds defect regions. Needs Pillow and scipy beside the wire's packages. Pure functions: any thread may
call them.
"""
