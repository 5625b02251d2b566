@{
    RootModule        = 'Shop.psm1'
    ModuleVersion     = '1.0.0'
    GUID              = '7c1f0c9e-8a5d-4f0e-9a63-5d1f3b0c2a11'
    FunctionsToExport = 'Get-Till'
}
