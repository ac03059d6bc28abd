"""Would the tests notice? `python -m tools.mutants` makes random single changes and looks.

`changes` finds every place where one operator, comparison, constant or condition can be changed.
`bench` copies the project into a temporary folder, where `worker` runs the tests of a room with
one change after another; the working tree is only read. `equivalent.yaml` lists changes that no
test can notice, with the reason; `report` counts.
"""
