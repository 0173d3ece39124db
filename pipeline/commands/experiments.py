def select():
    pass


def experiments():
    pass
