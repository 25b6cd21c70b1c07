"""One table of requests, sent to the published coglet's server and to ours."""
