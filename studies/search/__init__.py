"""The search: a driver that asks for trials in one fixed order and starts them on workers."""
