"""One file per provider: request, answer, callback and status table, each line with its source.

`wire` is the only place that touches the network; every adapter is handed one and speaks through it.
`stub` is a member of the family that stays in memory. All of them keep `domain.provider.Provider` and
pass `tests/contract/providers`.
"""
