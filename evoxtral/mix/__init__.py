"""Composition, balance, near-duplicates and mixing of training data.

* `items`, `goals`: what is counted on an example, and what the composition note asks of the sums.
* `composition`, `checklist`: the note's tables and its ten checks, measured.
* `rebalance`, `weights`: draws per example that meet the goals; class weights; task : plain mixes.
* `rouge`, `neardup`, `lsh`: near-duplicate texts, exactly, and faster still.
* `records`, `raw`, `readers`, `plan`, `mixer`: the three-stage mix of any datasets.
"""
