"""Pages: a module each, with `routes(site)` and, if the menu shows it, `NAV`.

In: the `Site` and a request whose visitor is known. Out: rendered templates, JSON, pictures, server-sent events. All in
the event loop; what could block is asked through `site.history`, `site.commands` and `request_worker`.
"""
