"""Notifications of users, by e-mail or in the shop."""
