"""HTTP, and the way of a call: wire -> classify -> execute -> save -> answer.

server      opens the port, handles signals, owns the process
app         the ASGI application: internal routes or an AWS call
switch      which protocol a connection speaks: http1, http2, tls under both
tls         what it is encrypted with; certificate makes one
wire        bytes of a request: bodies, aws-chunked, CORS
classify    which service, operation, account and region a request means
pipeline    runs calls one at a time, parks polls, answers errors
shapes      errors in the shape of each AWS protocol
internal    /health, /_localstack/...
init_hooks  the user's scripts at each stage of a run
developer   /_aws/...: looking into queues and at what was sent
lifecycle   when state is loaded and saved
cuts        how a cut is taken: small stores at once, large ones in a forked child
"""
