"""The design that Shortwire replaces, as it was built: the reference of `make bench`.

Flask on Gunicorn (two workers, four threads each), Peewee with a connection pool, Redis as
cache-aside, and a pool of two threads that writes events behind the answer.
"""
