"""Where a window becomes metric.

`sources` asks odometry, rig and parallax; `measurements` and `odometry` have their arithmetic;
`world` chooses among them and keeps the unit of the world.
"""
