"""The dashboard: pages for people, rendered here, that ask the operations of the API and nothing else.

frame        what a page is, and a visit: who looks, at what, in which language
serving      a request on its way: session, scope, rate, form, page, answer
sessions     sign-in and sign-out, the cookie, and what a form must show to be believed
rendering    templates, and how numbers, money and moments are shown
languages    the catalogue of sentences, and who reads which
assets       style sheet, script and pictures, by the hash of what they hold
sentences    states and groups of states as people call them
table        the table of all pages

How to add a page: docs/dashboard.md.
"""
