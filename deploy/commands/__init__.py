"""The commands of `cqm`: one module per group, each with a `register(app)`; deploy/cli.py lists them.

terminal    what is written where, and how a foreseeable error ends a command
addresses   which services a command speaks to
api         their answers, with their errors as sentences
"""
