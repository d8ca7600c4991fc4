"""A folder per provider: request, answer, callback and status table, each line with its source.

`wire` is the only place that touches the network: every adapter is given one and speaks through it. `base`
and `documents` hold what they share. All of them keep `domain.provider.Provider` and pass the suite in
`tests/contract/providers`.
"""
