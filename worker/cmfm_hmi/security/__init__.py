"""Security of the page: who a visitor is, what he may do, and what browsers are told to refuse.

In: cookies, passwords, forms. Out: a `Visitor` with a role for each request, or an error page. Users are a file with
scrypt hashes, sessions are signed cookies. Everything runs in the event loop; passwords are checked in a thread.
"""
