# $LambdaInput is the event, $LambdaContext the context. Get-Till is of the module Shop.
Write-Host "pricing $($LambdaInput.items -join ', ')"

if (-not $LambdaInput.items) {
    throw @{ Exception = 'NothingOrdered'; Message = 'name at least one item' }
}

$prices = @{ tea = 2.5; coffee = 3 }

[pscustomobject]@{
    total  = ($LambdaInput.items | ForEach-Object { $prices[$_] } | Measure-Object -Sum).Sum
    till   = Get-Till
    number = Get-Random
}
