"""The HTTP API: `/v1`, its document, its keys.

operations   what an operation is: one declaration validates its requests and writes its documentation
serving      a request on its way: key, scope, rate, path, query, body, handler, answer
problems     every refusal, as RFC 9457
document     the OpenAPI document of the table
table        the table of all operations
"""
