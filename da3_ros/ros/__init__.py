"""The ROS 2 adapter: messages in, messages out, and the node that joins them to the stream.

Owns topics, QoS, parameters, TF, services, actions and diagnostics. Knows no network (only the
`Estimator` role) and does no geometry of its own. Bytes of messages become arrays, and back, in
`conversions` alone. Start with `node`, which is composition only.
"""
