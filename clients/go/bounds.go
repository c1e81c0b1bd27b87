package sealward

import "time"

// Bounds of calls and connections. Those of retries are in service_config.json, which is derived from the contract.
const (
	// DefaultTimeout is the maximum time of a unary call with its retries, if its context has no deadline. It is the server's default, ten
	// times the duration of the slowest unary call. [WithTimeout] changes it to any positive time; the server shortens it to its own maximum.
	DefaultTimeout = 30 * time.Second

	// DefaultMessageSizeMax is the maximum size of a sent or received message, in bytes. It is the server's default. [WithMessageSizeMax]
	// changes it to any positive number.
	DefaultMessageSizeMax = 4 * 1024 * 1024

	// keepaliveInterval is the time without traffic after which a connection with open calls gets an HTTP/2 ping. It detects dead connections
	// of idle streams before the timeouts of most networks, and is the server's own interval.
	keepaliveInterval = 60 * time.Second

	// keepaliveTimeout is the time to wait for the answer to that ping. It allows for the retransmissions of a slow network.
	keepaliveTimeout = 20 * time.Second

	// connectTimeout is the time for connecting to an address, including the TLS handshake. It is less than DefaultTimeout, so that a call
	// can still try another address.
	connectTimeout = 10 * time.Second

	// watchPause is the pause before a stream about a re-encryption is opened again: a restart of the server takes seconds.
	watchPause = time.Second

	// watchFailuresMax is the maximum number of consecutive failures of that stream before the iteration ends. With watchPause, it allows for
	// about a minute without a server.
	watchFailuresMax = 60

	// watchFailuresMaxAtFirst is the maximum number of failures before the first message, if nothing shows that the server can be reached. A
	// wrong address is then reported within seconds.
	watchFailuresMaxAtFirst = 5

	// endpointMaxBytes is the maximum size of the file `endpoint` of a development server. It is longer than any endpoint.
	endpointMaxBytes = 1024
)
